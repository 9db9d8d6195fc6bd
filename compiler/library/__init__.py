"""The standard library, written in the language itself (.tw files)."""
