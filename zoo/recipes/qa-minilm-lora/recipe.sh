#!/bin/sh
# Trains headstart/qa-minilm-lora. XQUAD is the folder of the data that the card names.
set -eu
"${HEADSTART:-./headstart}" finetune --task question-answering --model sentence-transformers/all-MiniLM-L6-v2 \
  --train "$XQUAD/xquad.en.json" --validation-split 0.2 \
  --mode lora --lora-r 16 --lora-alpha 32 --lora-target-modules query,key,value,dense --lora-half --learning-rate 1e-3 --warmup-ratio 0.06 \
  --epochs 2 --batch-size 8 --max-length 256 --precision bf16 --output "${1:-qa-minilm-lora}"
