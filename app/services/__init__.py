"""What users do, a module each: one call, one transaction, committed before the call returns."""
