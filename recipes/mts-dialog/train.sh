#!/bin/sh
# Clinical summaries: sections of medical notes from doctor-patient dialogues (MTS-Dialog). ROUGE on both test sets before and after fine-tuning.
# usage: train.sh FOLDER_OF_MTS_DIALOG MODEL OUTPUT    (MODEL: t5-mini's folder, or any text-to-text model)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 3 ] || { echo "usage: $0 FOLDER_OF_MTS_DIALOG MODEL OUTPUT" >&2; exit 2; }
data=$1 model=$2 output=$3
shift 3
headstart=${HEADSTART:-$here/../../headstart}
rouge() {
  for n in 1-MEDIQA-Chat 2-MEDIQA-Sum; do
    echo "test set $n:"
    "$headstart" evaluate --task summarization --model "$1" --data "$data/MTS-Dialog-TestSet-$n-2023.csv" --column source=dialogue --column target=section_text \
      --source-prefix "summarize: " --max-length 512 --batch-size 16 --kwargs '{"num_beams": 4, "max_new_tokens": 128, "no_repeat_ngram_size": 3}'
  done
}
"$headstart" finetune --task summarization --model "$model" --train "$data/MTS-Dialog-TrainingSet.csv" \
  --validation "$data/MTS-Dialog-ValidationSet.csv" --column source=dialogue --column target=section_text --source-prefix "summarize: " \
  --max-length 512 --max-target-length 128 --batch-size 8 --epochs 5 --optimizer adafactor --learning-rate 5e-3 --warmup-ratio 0.1 --schedule linear \
  --precision bf16 --seed 1 --output "$output" "$@"
{ echo "before fine-tuning"; rouge "$model"; echo "after fine-tuning"; rouge "$output"; } | tee "$output/rouge.txt"
