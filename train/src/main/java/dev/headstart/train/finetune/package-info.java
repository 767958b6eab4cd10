/** Fine-tuning of pre-trained models on a user's data: tasks, data, the finished folder. */
@NullMarked
package dev.headstart.train.finetune;

import org.jspecify.annotations.NullMarked;
