package dev.headstart.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Arguments from the command line that remember what was asked for: the others are typed wrong, or of no use to the task. */
final class CallArguments extends ObjectNode {
    private final transient Set<String> asked = new LinkedHashSet<>();

    CallArguments(JsonNode object) {
        super(JsonNodeFactory.instance);
        object.properties().forEach(e -> set(e.getKey(), e.getValue()));
    }

    /** Those that nobody asked for, in their order. */
    List<String> unused() {
        return super.properties().stream()
                .map(Map.Entry::getKey)
                .filter(name -> !asked.contains(name))
                .toList();
    }

    private void all() {
        super.properties().forEach(e -> asked.add(e.getKey()));
    }

    @Override
    public @Nullable JsonNode get(String name) {
        asked.add(name);
        return super.get(name);
    }

    @Override
    public JsonNode path(String name) {
        asked.add(name);
        return super.path(name);
    }

    @Override
    public Set<Map.Entry<String, JsonNode>> properties() {
        all();
        return super.properties();
    }

    @Override
    public Iterator<String> fieldNames() {
        all();
        return super.fieldNames();
    }

    @Override
    public Iterator<JsonNode> elements() {
        all();
        return super.elements();
    }

    @Override
    public void serialize(JsonGenerator generator, SerializerProvider provider) throws IOException {
        all();
        super.serialize(generator, provider);
    }
}
