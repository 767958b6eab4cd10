#!/bin/sh
# What pre-training buys on SST-2: from scratch, our own bert-mini, bert-base-uncased, at 100, 1,000 and all 6,920 training sentences.
# Needs headstart/bert-mini (recipes/bert-mini), or its folder in MINI. About an hour on 2 cores; Ctrl-C and --resume keep what is finished.
# usage: SST2=FOLDER_OF_SST2 compare.sh OUTPUT [more options, such as --resume]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mini=${MINI:-headstart/bert-mini}
output=${1:?usage: SST2=FOLDER $0 OUTPUT}
shift
exec "${HEADSTART:-$here/../../headstart}" compare --task text-classification --model "$mini,bert-base-uncased" --scratch-of "$mini" \
  --train "${SST2:?names the folder of train.tsv, dev.tsv, test.tsv}/train.tsv" --validation "$SST2/dev.tsv" --test "$SST2/test.tsv" \
  --label-names negative,positive --sizes 100,1000,all --modes scratch,head,lora,full \
  --learning-rates "scratch=5e-4,head=1e-3,lora=5e-4,full=5e-5,${mini##*/}:lora=2e-3,${mini##*/}:full=4e-4" \
  --epochs 3 --min-steps 300 --batch-size 32 --warmup-ratio 0.06 --max-length 64 --precision bf16 --output "$output" "$@"
