#!/bin/sh
# What a head start buys on few images: chest X-rays (PneumoniaMNIST), the network of headstart/cifar10-resnet14 from scratch, with its features frozen and in full,
# the same steps. OUTPUT/compare.html shows it; 12 trainings, 12 min on one of 2 busy cores. The figures are in recipes/README.md.
# usage: compare.sh pneumoniamnist.npz OUTPUT [more options, such as --resume]
set -eu
data=$1 out=$2
shift 2
exec "${HEADSTART:-./headstart}" compare --task image-classification --model "${MODEL:-headstart/cifar10-resnet14}" --modes scratch,head,full \
  --train "$data#train" --validation "$data#val" --test "$data#test" --class-names normal,pneumonia --sizes 50,200,1000,3882 --metric auc \
  --learning-rates scratch=0.05,head=0.02,full=0.02 --optimizer sgd --nesterov --schedule cosine --warmup-ratio 0.1 --weight-decay 5e-4 \
  --batch-size 25 --epochs 2 --min-steps 200 --max-grad-norm 0 --random-crop-padding 0.1 --ema 0.98 --seeds 1 --output "$out" "$@"
