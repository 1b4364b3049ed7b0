"""The bytes: every file once, under its digest, in a folder or behind S3."""
