/** Tokenizers and chat templates. */
@NullMarked
package dev.headstart.text;

import org.jspecify.annotations.NullMarked;
