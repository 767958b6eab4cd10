#!/bin/sh
# bert-base-uncased fine-tuned in full on SST-2 (6,920 sentences); the test split (1,821) is looked at once, at the end. 40 minutes on one thread of a busy machine: 91.2 %.
# usage: SST2=FOLDER_OF_SST2 finetune.sh OUTPUT [more options, such as --resume]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:?usage: SST2=FOLDER $0 OUTPUT}
shift
exec "${HEADSTART:-$here/../../headstart}" finetune --task text-classification --model bert-base-uncased \
  --train "${SST2:?names the folder of train.tsv, dev.tsv, test.tsv}/train.tsv" --validation "$SST2/dev.tsv" --test "$SST2/test.tsv" \
  --label-names negative,positive --epochs 2 --learning-rate 3e-5 --warmup-ratio 0.1 --batch-size 32 --precision bf16 \
  --output "$output" "$@"
