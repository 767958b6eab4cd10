/** Text generation: what to ask for, how scores become tokens, when to stop, and what a model offers so that one loop serves all. */
@NullMarked
package dev.headstart.generation;

import org.jspecify.annotations.NullMarked;
