/** The same task trained in several ways, side by side. */
@NullMarked
package dev.headstart.train.compare;

import org.jspecify.annotations.NullMarked;
