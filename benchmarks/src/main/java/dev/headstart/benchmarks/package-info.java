/** Headstart beside its peers. */
@NullMarked
package dev.headstart.benchmarks;

import org.jspecify.annotations.NullMarked;
