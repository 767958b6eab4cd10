"""Peer of the start-up benchmark: from a cold Python to the first filled mask."""
import sys
from transformers import pipeline
print(pipeline("fill-mask", model=sys.argv[1])("The capital of France is [MASK]."))
