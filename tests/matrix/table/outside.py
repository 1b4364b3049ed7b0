"""What stands outside `/api/v1`: health, measurements, explanations, and the framework's own pages."""

from tests.matrix.rights import Right, Row

rows = [
    Row("GET /healthz", Right.OPEN),
    Row("GET /readyz", Right.OPEN),
    Row("GET /metrics", Right.ADMIN, scopes=("admin",)),
    Row("GET /problems/{name}", Right.OPEN, params={"name": "not-found"}),
    Row("GET /api/openapi.json", Right.OPEN),
    Row("HEAD /api/openapi.json", Right.OPEN),
    Row("GET /docs", Right.OPEN),
]
