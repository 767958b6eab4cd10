#!/bin/sh
# bert-mini: BERT of 4 layers, 256 wide, 6,000 word pieces, on English novels and Wikipedia articles, in two turns.
# Masked words first, two of every five tokens, with the first layer's heads beginning on the neighbours (--init local): with 15 % and random heads, 8
# million tokens leave it at single words' frequencies. Then masked words and next sentences, from which [CLS] learns to speak for a text.
# usage: train.sh FOLDER_OF_NOVELS,FOLDER_OF_ARTICLES OUTPUT [more options, such as --resume]; the first turn's model is OUTPUT-words
# GPU=1 takes 12 times as many tokens, in batches of 256: minutes on a large GPU, a day on a processor. TOKENIZER=FOLDER: one that is learnt already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?usage: $0 FOLDER,FOLDER OUTPUT} output=${2:?usage: $0 FOLDER,FOLDER OUTPUT}
shift 2
vocabulary='--vocab-size 6000'
[ -z "${TOKENIZER:-}" ] || vocabulary="--tokenizer $TOKENIZER"
batch=16 words='--max-steps 8000 --lr 1e-3 --warmup-steps 200 --eval-steps 500' both='--max-steps 7500 --lr 7e-4 --warmup-steps 200 --eval-steps 500'
if [ -n "${GPU:-}" ]; then
  batch=256
  words='--max-steps 8500 --lr 1.5e-3 --warmup-steps 500 --eval-steps 1000' both='--max-steps 3500 --lr 7e-4 --warmup-steps 300 --eval-steps 1000'
fi
turn() { # OUTPUT OPTION...
  to=$1
  shift
  "${HEADSTART:-$here/../../headstart}" pretrain --data "$data" --output "$to" --block-size 128 --batch-size "$batch" \
    --dropout 0 --precision bf16 --save-dtype bf16 --validation-split 0.02 --eval-tokens 100000 "$@"
}
# shellcheck disable=SC2086
{
  turn "$output-words" --objective mlm --init local --mlm-probability 0.4 --config mini $vocabulary $words "$@"
  turn "$output" --objective mlm-nsp --init "$output-words" --tokenizer "$output-words" --mlm-probability 0.3 $both "$@"
}
