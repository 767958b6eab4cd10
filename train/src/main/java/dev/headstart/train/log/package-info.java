/** What a training run leaves to look at: TensorBoard events and a self-contained HTML report. */
@NullMarked
package dev.headstart.train.log;

import org.jspecify.annotations.NullMarked;
