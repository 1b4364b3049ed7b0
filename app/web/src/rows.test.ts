import { expect, test } from "vitest";
import { found } from "./rows";

test.each([
  ["", "model.layers.0.q_proj", true],
  ["  ", "model.layers.0.q_proj", true],
  ["Q_PROJ", "model.layers.0.q_proj", true],
  ["layers.0 q_proj", "model.layers.0.q_proj", true],
  ["q_proj layers.0 ", "model.layers.0.q_proj", true],
  ["layers.1 q_proj", "model.layers.0.q_proj", false],
  ["*", "model.layers.0.q_proj", false],
])("%j in %j: %s", (typed, name, expected) => {
  expect(found(typed, name)).toBe(expected);
});
