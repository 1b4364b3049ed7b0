// Requests to /api/v1 in the name of whoever is signed in.

/** A problem as RFC 9457 tells it: `type` ends with its name, and the facts stand beside the standard members. */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  request_id?: string;
  pointer?: string;
  [fact: string]: unknown;
}

export class Problem extends Error {
  constructor(readonly body: ProblemBody) {
    super(body.detail);
    this.name = "Problem";
  }

  /** `version-conflict` of `/problems/version-conflict`. */
  get kind(): string {
    return this.body.type.replace(/^\/problems\//, "");
  }

  get status(): number {
    return this.body.status;
  }
}

/** What forms and scripts of this page prove with that they are its own; empty for whoever is not signed in. */
export function formToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  /** As Idempotency-Key: the same request sent again with it is answered as the first one was. */
  key?: string | undefined;
}

/**
 * Send a request and read its answer; `path` begins below `/api/v1`, for example `/repositories`.
 * Throws a Problem for what is refused, and for a server that does not answer one with the status 0.
 */
export async function api<T = unknown>(
  method: string,
  path: string,
  body?: unknown,
  options: RequestOptions = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", "X-CSRF-Token": formToken() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (options.key !== undefined) headers["Idempotency-Key"] = options.key;
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: "same-origin",
      signal: options.signal ?? null,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(unreachable);
  }
  if (!response.ok) throw await problemOf(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

const unreachable: ProblemBody = {
  type: "/problems/not-reached",
  title: "The server does not answer",
  status: 0,
  detail: "The server could not be reached. Is the connection up?",
};

/** The problem that a refusal tells; of an answer that is none, such as a proxy's, what can be said. */
export async function problemOf(response: Response): Promise<Problem> {
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return new Problem((await response.json()) as ProblemBody);
  }
  return new Problem({
    type: "/problems/not-reached",
    title: "An answer that is none of this registry's",
    status: response.status,
    detail: `Something between here and the registry answered ${response.status} ${response.statusText}`.trim(),
  });
}
