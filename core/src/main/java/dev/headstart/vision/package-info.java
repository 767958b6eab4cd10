/** Images: decoding, resampling, and the processors that checkpoints name. */
@NullMarked
package dev.headstart.vision;

import org.jspecify.annotations.NullMarked;
