"""Frozen values as JSON columns, and back."""

from typing import Any

from pydantic import TypeAdapter

from app.domain.adapter import Adapter, Checkpoint
from app.domain.base_model import BaseModel
from app.domain.plan import Plan
from app.domain.recipe import Recipe

adapters = TypeAdapter(Adapter)
checkpoints = TypeAdapter(Checkpoint)
plans = TypeAdapter(Plan)
recipes = TypeAdapter(Recipe)


def dump_facts(facts: Adapter | Checkpoint) -> dict[str, Any]:
    if isinstance(facts, Adapter):
        return {"adapter": adapters.dump_python(facts, mode="json")}
    return {"checkpoint": checkpoints.dump_python(facts, mode="json")}


def load_facts(value: dict[str, Any]) -> Adapter | Checkpoint:
    if "adapter" in value:
        return adapters.validate_python(value["adapter"])
    return checkpoints.validate_python(value["checkpoint"])


def dump_plan(plan: Plan) -> dict[str, Any]:
    value: dict[str, Any] = plans.dump_python(plan, mode="json")
    return value


def load_plan(value: dict[str, Any]) -> Plan:
    return plans.validate_python(value)


def dump_recipe(recipe: Recipe) -> dict[str, Any]:
    value: dict[str, Any] = recipes.dump_python(recipe, mode="json")
    return value


def load_recipe(value: dict[str, Any]) -> Recipe:
    return recipes.validate_python(value)


def dump_base(base_model: BaseModel | None) -> dict[str, Any] | None:
    return None if base_model is None else base_model.as_json()


def load_base(value: dict[str, Any] | None) -> BaseModel | None:
    return None if value is None else BaseModel(**value)
