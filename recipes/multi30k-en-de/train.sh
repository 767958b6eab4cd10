#!/bin/sh
# English to German from nothing: tokenizer and T5 of 3 + 3 layers, 256 wide, on the 29,000 pairs of Multi30k; BLEU on test2016 by beam search.
# The data is for non-commercial use: the weights stay at home.
# usage: train.sh FOLDER_WITH_raw/train.en.gz OUTPUT [more options for finetune, such as --resume]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { echo "usage: $0 FOLDER_OF_MULTI30K OUTPUT" >&2; exit 2; }
raw=$1/raw output=$2
shift 2
headstart=${HEADSTART:-$here/../../headstart}
work=$output-data
mkdir -p "$work/text"
for split in train val test_2016_flickr; do
  for language in en de; do
    gzip -dc "$raw/$split.$language.gz" >"$work/$split.$language"
  done
  paste "$work/$split.en" "$work/$split.de" |
    awk -F '\t' '{ gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); printf "{\"en\": \"%s\", \"de\": \"%s\"}\n", $1, $2 }' >"$work/$split.jsonl"
done
cp "$work/train.en" "$work/text/en.txt"
cp "$work/train.de" "$work/text/de.txt"
[ -e "$work/tokenizer/tokenizer.json" ] ||
  "$headstart" tokenizer train --kind unigram --vocab-size 8000 --sentinels 0 --output "$work/tokenizer" "$work/text"
"$headstart" finetune --task translation --config "$here/config.json" --tokenizer "$work/tokenizer" --column source=en --column target=de \
  --train "$work/train.jsonl" --validation "$work/val.jsonl" --max-target-length 80 --label-smoothing 0.1 --batch-size 64 --epochs 9 \
  --optimizer adafactor --learning-rate 1e-2 --schedule linear --warmup-steps 400 --precision bf16 --seed 1 \
  --eval-steps 908 --save-total-limit 1 --output "$output" "$@"
"$headstart" evaluate --task translation --model "$output" --data "$work/test_2016_flickr.jsonl" --column source=en --column target=de \
  --kwargs '{"num_beams": 4}' | tee "$output/test2016.txt"
