"""JSON for programs: /api/v1. Routes translate: parse, one service call, answer."""
