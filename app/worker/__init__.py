"""Claims a job, executes its plan; chores."""
