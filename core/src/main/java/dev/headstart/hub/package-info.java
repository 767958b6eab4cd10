/** Where models come from: folders, the zoo, the shared Hugging Face cache, the hub, and the Maven catalog. */
@NullMarked
package dev.headstart.hub;

import org.jspecify.annotations.NullMarked;
