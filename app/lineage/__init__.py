"""The database: rows in, frozen values out. The only SQL of the project."""
