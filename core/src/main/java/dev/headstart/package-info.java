/** What every package shares: the one kind of error that users see. */
@NullMarked
package dev.headstart;

import org.jspecify.annotations.NullMarked;
