#!/bin/sh
# Trains headstart/cifar10-resnet14 from nothing (35 min on 2 busy cores with AVX512-BF16; 81.3 % of the test images). CIFAR10 is a folder with train/CLASS/*.jpg and test/CLASS/*.jpg.
set -eu
out=${1:-cifar10-resnet14}
headstart=${HEADSTART:-./headstart}
"$headstart" finetune --task image-classification --config resnet14-wide --train "$CIFAR10/train" --validation "$CIFAR10/test" \
  --optimizer sgd --nesterov --lr 0.2 --schedule cosine --warmup-ratio 0.1 --weight-decay 5e-4 --batch-size 128 --max-grad-norm 0 \
  --precision bf16 --random-crop-padding 0.125 --flip 0.5 --cutmix 1.0 --ema 0.995 --seed 1 \
  --epochs 100 --eval-steps 1000000 --save-steps 500 --eval-batch-size 200 --output "$out-fp32"
"$headstart" convert --model "$out-fp32" --dtype fp16 --output "$out"
