"""What a setting may be: types and ranges in the signatures that take it, read as text or when an object is built."""
