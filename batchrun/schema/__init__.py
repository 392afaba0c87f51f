"""Answers as data: what a JSON Schema asks for, the object in an answer's text, and its columns."""
