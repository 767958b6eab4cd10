#!/bin/sh
# Trains headstart/sentiment-minilm-lora. SST2 is the folder of the data that the card names.
set -eu
"${HEADSTART:-./headstart}" finetune --task text-classification --model sentence-transformers/all-MiniLM-L6-v2 \
  --train "$SST2/train.tsv" --validation "$SST2/dev.tsv" --test "$SST2/test.tsv" --label-names negative,positive \
  --mode lora --lora-r 8 --epochs 4 --batch-size 32 --lr 1e-3 --precision fp32 --lora-half \
  --output "${1:-sentiment-minilm-lora}"
