package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.ObjectMapper;

/** The one JSON mapper of the package. */
final class JsonHolder {
    static final ObjectMapper JSON = new ObjectMapper();

    private JsonHolder() {}
}
