#!/bin/sh
# Trains headstart/sentiment-bert-base-lora. SST2 is the folder of the data that the card names.
set -eu
"${HEADSTART:-./headstart}" finetune --task text-classification --model bert-base-uncased \
  --train "$SST2/train.tsv" --validation "$SST2/dev.tsv" --test "$SST2/test.tsv" --label-names negative,positive \
  --mode lora --lora-r 8 --lora-alpha 16 --lora-target-modules query,key,value,dense --lora-half --learning-rate 4e-4 --warmup-ratio 0.06 \
  --epochs 3 --batch-size 32 --max-length 128 --precision bf16 \
  --output "${1:-sentiment-bert-base-lora}"
