/** Vocabularies learnt from text: WordPiece, byte-level BPE and unigram, written as tokenizer.json. */
@NullMarked
package dev.headstart.train.tokenizer;

import org.jspecify.annotations.NullMarked;
