/** Training of image classifiers: data, augmentation, what is trained at which rate, and the run itself. */
@NullMarked
package dev.headstart.train.vision;

import org.jspecify.annotations.NullMarked;
