#!/bin/sh
# Trains headstart/ner-minilm-lora. WIKIANN is the folder of the data that the card names.
set -eu
"${HEADSTART:-./headstart}" finetune --task token-classification --model sentence-transformers/all-MiniLM-L6-v2 \
  --train "$WIKIANN/train" --validation "$WIKIANN/dev" --max-train-samples 10000 --max-eval-samples 300 \
  --mode lora --lora-r 8 --lora-alpha 16 --lora-target-modules query,key,value,dense --lora-half --learning-rate 1e-3 --warmup-ratio 0.06 \
  --epochs 1 --batch-size 32 --max-length 128 --precision bf16 --output "${1:-ner-minilm-lora}"
