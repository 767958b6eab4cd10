#!/bin/sh
# Every problem as text to text: t5-mini learns sentiment, question types and similarity at once; the same network from random weights on the same budget.
# usage: finetune.sh FOLDER_OF_ALL_DATA PRETRAINED OUTPUT     (data in FOLDER/sst2, FOLDER/nltk-corpora/qc.zip, FOLDER/stsb)
# Leaves OUTPUT (from PRETRAINED, bf16), OUTPUT-random and OUTPUT/tasks.md, the table of both on the test splits.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 3 ] || { echo "usage: $0 FOLDER_OF_ALL_DATA PRETRAINED OUTPUT" >&2; exit 2; }
data=$1 pretrained=$2 output=$3
shift 3
headstart=${HEADSTART:-$here/../../headstart}
java=java
[ -n "${JAVA_HOME:-}" ] && java=$JAVA_HOME/bin/java
"$java" "$here/Tasks.java" "$data" "$output-data"
train() {
  to=$1
  shift
  "$headstart" finetune --task text2text-generation --train "$output-data/train.jsonl" --validation "$output-data/validation.jsonl" \
    --mixing-temperature 2 --max-length 128 --max-target-length 8 --batch-size 32 --epochs 4 --optimizer adafactor --warmup-ratio 0.05 \
    --precision bf16 --eval-steps 1100 --seed 1 --output "$to" "$@"
}
# what was learnt wants a lower rate: 2e-3 was the best of 1e-3, 2e-3 and 5e-3
train "$output-fp32" --model "$pretrained" --learning-rate 2e-3 "$@"
train "$output-random" --model "$pretrained" --init random --learning-rate 5e-3 "$@"
"$headstart" convert --model "$output-fp32" --dtype bf16 --output "$output"
figures() { # of one model: NAME VALUE
  "$headstart" evaluate --task text2text-generation --model "$1" --data "$output-data/test.jsonl" --max-length 128 --batch-size 64 \
    --kwargs '{"num_beams": 1, "max_new_tokens": 8}' --resamples 0 | awk 'NR > 1 { n = $NF; $NF = ""; sub(/ $/, ""); print $0 "\t" n }'
}
figures "$output" >"$output-data/pretrained.txt"
figures "$output-random" >"$output-data/random.txt"
value() { awk -F '\t' -v n="$2" '$1 == n { print $2 }' "$1"; }
{
  printf '| task | test examples | measure | from pre-trained | from random weights |\n|---|---|---|---|---|\n'
  for line in 'sentiment|1821|accuracy|sentiment_exact_match' 'question type|500|accuracy|question type_exact_match' \
    'similarity|1379|Pearson|similarity_pearson' 'similarity|1379|Spearman|similarity_spearman'; do
    printf '%s\n' "$line" | {
      IFS='|' read -r task n measure name
      printf '| %s | %s | %s | %s | %s |\n' "$task" "$n" "$measure" \
        "$(value "$output-data/pretrained.txt" "$name")" "$(value "$output-data/random.txt" "$name")"
    }
  done
} | tee "$output/tasks.md"
