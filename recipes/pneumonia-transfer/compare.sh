#!/bin/sh
# What a head start buys on few images: chest X-rays (PneumoniaMNIST), the same network from nothing and from headstart/cifar10-resnet14, the same steps.
# Needs headstart/cifar10-resnet14 (zoo/recipes), or its folder in MODEL. Not run to its end yet.
# usage: compare.sh pneumoniamnist.npz OUTPUT
set -eu
data=$1 out=$2
headstart=${HEADSTART:-./headstart}
mkdir -p "$out"
printf '| images | start | accuracy | AUC |\n|---|---|---|---|\n' | tee "$out/table.md"
for images in 50 200 1000 3882; do
  for start in "nothing --config resnet14-wide --lr 0.05" "cifar10-resnet14 --model ${MODEL:-headstart/cifar10-resnet14} --lr 0.02 --layer-decay 0.8"; do
    name=${start%% *} options=${start#* }
    run=$out/$name-$images
    # shellcheck disable=SC2086
    "$headstart" finetune --task image-classification $options --train "$data#train" --validation "$data#test" --max-train-samples $images \
      --class-names normal,pneumonia --optimizer sgd --nesterov --schedule cosine --warmup-ratio 0.1 --weight-decay 5e-4 --batch-size 25 \
      --max-steps 200 --max-grad-norm 0 --random-crop-padding 0.1 --ema 0.98 --metric auc --eval-steps 1000000 --seed 1 --output "$run" >/dev/null
    awk -v n=$images -v s="$name" '/eval_auc/ { a = $0; sub(/.*"eval_accuracy":/, "", a); sub(/[,}].*/, "", a); u = $0; sub(/.*"eval_auc":/, "", u); sub(/[,}].*/, "", u) }
      END { printf "| %d | %s | %.3f | %.3f |\n", n, s, a, u }' "$run/training_log.jsonl" | tee -a "$out/table.md"
  done
done
