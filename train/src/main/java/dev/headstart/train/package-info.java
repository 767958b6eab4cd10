/** Training: optimizers, schedules, the trainer and its checkpoints. */
@NullMarked
package dev.headstart.train;

import org.jspecify.annotations.NullMarked;
