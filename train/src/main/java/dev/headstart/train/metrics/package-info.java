/** Evaluation metrics, equal to scikit-learn, seqeval, sacrebleu, rouge-score and the SQuAD script. */
@NullMarked
package dev.headstart.train.metrics;

import org.jspecify.annotations.NullMarked;
