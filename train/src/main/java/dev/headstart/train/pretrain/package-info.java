/** Models from nothing: tokenizer, token shards, and the objectives BERT, GPT and T5 are pre-trained with. */
@NullMarked
package dev.headstart.train.pretrain;

import org.jspecify.annotations.NullMarked;
