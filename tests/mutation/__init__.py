"""Automatic mutation of the compiler's own code: is a mistake in it noticed?"""
