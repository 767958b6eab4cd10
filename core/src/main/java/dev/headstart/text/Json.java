package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Base64;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The parts of a tokenizer.json that the converters put together, under their names there. */
final class Json {
    private Json() {}

    static ObjectNode object(String type) {
        return TokenizerJson.MAPPER.createObjectNode().put("type", type);
    }

    /** One part, or several in a row, as a Sequence; null when there is none. */
    static @Nullable ObjectNode sequence(String field, List<ObjectNode> parts) {
        if (parts.size() < 2) return parts.isEmpty() ? null : parts.get(0);
        ObjectNode node = object("Sequence");
        node.putArray(field).addAll(parts);
        return node;
    }

    static ObjectNode replace(String text, String with) {
        ObjectNode node = object("Replace");
        node.putObject("pattern").put("String", text);
        return node.put("content", with);
    }

    static ObjectNode replaceAll(String regex, String with) {
        ObjectNode node = object("Replace");
        node.putObject("pattern").put("Regex", regex);
        return node.put("content", with);
    }

    static ObjectNode strip(boolean left, boolean right) {
        return object("Strip").put("strip_left", left).put("strip_right", right);
    }

    static ObjectNode precompiled(byte[] charsmap) {
        return object("Precompiled")
                .put("precompiled_charsmap", Base64.getEncoder().encodeToString(charsmap));
    }

    static ObjectNode metaspace(String prepend, boolean split) {
        return object("Metaspace")
                .put("replacement", "\u2581")
                .put("prepend_scheme", prepend)
                .put("split", split);
    }

    /** The decoder of vocabularies with byte fallback. @param strips whether the first blank was added and goes */
    static ObjectNode blanksAndBytes(boolean strips) {
        ObjectNode node = object("Sequence");
        ArrayNode list = node.putArray("decoders");
        list.add(replace("\u2581", " "));
        list.add(object("ByteFallback"));
        list.add(object("Fuse"));
        if (strips) list.add(object("Strip").put("content", " ").put("start", 1).put("stop", 0));
        return node;
    }

    static ObjectNode byteLevel(boolean addPrefixSpace, boolean useRegex) {
        return object("ByteLevel")
                .put("add_prefix_space", addPrefixSpace)
                .put("trim_offsets", true)
                .put("use_regex", useRegex);
    }

    static ObjectNode split(String regex, String behavior, boolean invert) {
        ObjectNode node = object("Split");
        node.putObject("pattern").put("Regex", regex);
        return node.put("behavior", behavior).put("invert", invert);
    }

    static ObjectNode roberta(TokenizerJson json, String cls, String sep, boolean trimOffsets, boolean addPrefixSpace) {
        ObjectNode node = object("RobertaProcessing");
        node.putArray("sep").add(sep).add(json.addSpecial(sep));
        node.putArray("cls").add(cls).add(json.addSpecial(cls));
        return node.put("trim_offsets", trimOffsets).put("add_prefix_space", addPrefixSpace);
    }

    /** A template of pieces like {@code "[CLS]:0"} and {@code "$A:0"}; its special tokens are added where they are missing. */
    static ObjectNode template(TokenizerJson json, List<String> single, List<String> pair) {
        ObjectNode post = object("TemplateProcessing");
        ObjectNode special = TokenizerJson.MAPPER.createObjectNode();
        for (boolean two : new boolean[] {false, true}) {
            ArrayNode list = post.putArray(two ? "pair" : "single");
            for (String piece : two ? pair : single) {
                int colon = piece.lastIndexOf(':');
                String name = piece.substring(0, colon);
                int type = Integer.parseInt(piece.substring(colon + 1));
                if (name.startsWith("$")) {
                    list.addObject()
                            .putObject("Sequence")
                            .put("id", name.substring(1))
                            .put("type_id", type);
                    continue;
                }
                list.addObject().putObject("SpecialToken").put("id", name).put("type_id", type);
                ObjectNode entry = special.putObject(name).put("id", name);
                entry.putArray("ids").add(json.addSpecial(name));
                entry.putArray("tokens").add(name);
            }
        }
        post.set("special_tokens", special);
        return post;
    }

    /** Sets a part of the tokenizer. */
    static void set(TokenizerJson json, String part, @Nullable JsonNode value) {
        if (value == null) json.top.putNull(part);
        else json.top.set(part, value);
    }
}
