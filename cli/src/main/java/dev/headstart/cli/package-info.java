/** The {@code headstart} command: one thin picocli class a subcommand. */
@NullMarked
package dev.headstart.cli;

import org.jspecify.annotations.NullMarked;
