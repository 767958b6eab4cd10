/** Low-rank adapters in the file format of Hugging Face PEFT: load, train, merge, save. */
@NullMarked
package dev.headstart.peft;

import org.jspecify.annotations.NullMarked;
