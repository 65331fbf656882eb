"""Pixels: decoding, and what is done to images, one at a time."""
