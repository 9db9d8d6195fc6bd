"""What a syntax error probably meant: from the place where the parser stopped to one line in the user's words."""
