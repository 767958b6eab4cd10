/** Thin layers over libtorch tensors, and the weights they are built from. */
@NullMarked
package dev.headstart.nn;

import org.jspecify.annotations.NullMarked;
