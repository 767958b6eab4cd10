package dev.headstart.vision;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.Safetensors;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Processors against the golden cases made by transformers and timm, and their settings. */
class ImageProcessorTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    private static ImageProcessor of(String json) throws IOException {
        return ImageProcessor.of((ObjectNode) JSON.readTree(json));
    }

    private static Image image(int width, int height) {
        byte[] rgb = new byte[3 * width * height];
        new java.util.Random(width * 31L + height).nextBytes(rgb);
        return new Image(width, height, rgb, width + "x" + height);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "clip-bicubic-center-crop",
                "clip-grey-rgba-palette",
                "convnext-crop-bicubic",
                "detr-pad-mask",
                "timm-bicubic-center",
                "vit-jpeg",
                "vit-png"
            })
    void golden(String name) throws IOException {
        check(Shared.require("golden/preprocess/" + name));
    }

    /** Transparent colours, borders, ties of the nearest sample, and processors the shared cases leave out (conformance/processor_fuzz.py). */
    @ParameterizedTest
    @ValueSource(
            strings = {"clip-1000", "convnext-1003", "efficientnet-1000", "efficientnet-1003", "timm-1013", "timm-1023"
            })
    void ownGolden(String name) throws IOException {
        check(Shared.repositoryRoot().resolve("core/src/test/resources/processor-golden/" + name));
    }

    private static void check(Path at) throws IOException {
        JsonNode c = JSON.readTree(at.resolve("case.json").toFile()).get("preprocess");
        List<Image> images = new ArrayList<>();
        c.get("input").forEach(f -> images.add(Image.read(at.resolve(f.asText()))));
        try (PointerScope scope = new PointerScope();
                ImageBatch batch =
                        ImageProcessor.fromFolder(at.resolve("model")).preprocess(images)) {
            Map<String, Tensor> want = Safetensors.readMap(at.resolve("preprocessed.safetensors"));
            want.forEach((k, w) -> {
                Tensor got =
                        java.util.Objects.requireNonNull(batch.modelInputs().get(k), k);
                assertThat(got.shape()).as(k).isEqualTo(w.shape());
                Tensor error = got.to(torch.ScalarType.Float)
                        .sub(w.to(torch.ScalarType.Float))
                        .abs();
                assertThat(error.max().item_float()).as(k).isLessThanOrEqualTo((float)
                        c.get("atol").asDouble());
                assertThat(error.mean().item_float()).as(k).isLessThanOrEqualTo((float)
                        c.get("mean_atol").asDouble());
            });
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                // settings | width x height of the image | width x height of the result
                "{'image_processor_type':'ViTImageProcessor'} | 50 | 40 | 224 | 224",
                "{'feature_extractor_type':'ViTFeatureExtractor','size':32} | 50 | 40 | 32 | 32",
                "{'image_processor_type':'ViTImageProcessorFast','size':[20,30]} | 50 | 40 | 30 | 20",
                "{'image_processor_type':'ViTImageProcessor','size':{'max_height':20,'max_width':20}} | 50 | 40 | 20 | 16",
                "{'image_processor_type':'ViTImageProcessor','do_resize':false} | 50 | 40 | 50 | 40",
                "{'image_processor_type':'ViTImageProcessor','size':20,'do_center_crop':true,'crop_size':31} | 50 | 40 | 31 | 31",
                "{'image_processor_type':'CLIPImageProcessor','size':20} | 50 | 40 | 224 | 224",
                "{'image_processor_type':'CLIPImageProcessor','size':20,'do_center_crop':false} | 50 | 40 | 25 | 20",
                "{'image_processor_type':'CLIPImageProcessor','size':21,'do_center_crop':false} | 33 | 47 | 21 | 29",
                "{'image_processor_type':'ConvNextImageProcessor'} | 50 | 40 | 384 | 384",
                "{'image_processor_type':'ConvNextImageProcessor','size':24,'crop_pct':0.9} | 50 | 40 | 24 | 24",
                "{'image_processor_type':'DeiTImageProcessor'} | 50 | 40 | 224 | 224",
                "{'image_processor_type':'MobileNetV2ImageProcessor','crop_size':{'height':10,'width':12}} | 50 | 40 | 12 | 10",
                "{'image_processor_type':'SegformerImageProcessor','size':{'height':8,'width':9}} | 50 | 40 | 9 | 8",
                "{'image_processor_type':'DetrImageProcessor'} | 50 | 40 | 1000 | 800",
                "{'image_processor_type':'DetrImageProcessor','size':400,'max_size':450} | 50 | 40 | 450 | 360",
                "{'image_processor_type':'DetrImageProcessor','size':{'shortest_edge':400,'longest_edge':999}} | 40 | 50 | 400 | 500",
                "{'image_processor_type':'YolosImageProcessor','size':{'shortest_edge':51,'longest_edge':70}} | 50 | 40 | 48 | 48",
                "{'image_processor_type':'RTDetrImageProcessor'} | 50 | 40 | 640 | 640",
                "{'image_processor_type':'BeitImageProcessor','do_center_crop':true} | 50 | 40 | 224 | 224",
            })
    void sizes(String json, int width, int height, long outWidth, long outHeight) throws IOException {
        try (ImageBatch batch = of(json.replace('\'', '"')).preprocess(List.of(image(width, height)))) {
            assertThat(batch.pixelValues().shape()).containsExactly(1, 3, outHeight, outWidth);
        }
    }

    @Test
    void padsToTheLargestWithAMask() throws IOException {
        var processor = of("{\"image_processor_type\":\"DetrImageProcessor\",\"do_resize\":false}");
        try (PointerScope scope = new PointerScope();
                ImageBatch batch = processor.preprocess(List.of(image(4, 3), image(2, 5)))) {
            assertThat(batch.pixelValues().shape()).containsExactly(2, 3, 5, 4);
            Tensor mask = java.util.Objects.requireNonNull(batch.pixelMask());
            assertThat(mask.shape()).containsExactly(2, 5, 4);
            assertThat(mask.sum().item_long()).isEqualTo(12 + 10);
            assertThat(batch.pixelValues()
                            .select(0, 0)
                            .narrow(1, 3, 2)
                            .abs()
                            .max()
                            .item_float())
                    .isZero();
        }
    }

    @Test
    void rescaleAndNormalizeAreSwitches() throws IOException {
        Image image = new Image(1, 1, new byte[] {(byte) 200, 100, 0}, "dot");
        assertThat(values("\"do_normalize\":false", image)).containsExactly(200 / 255f, 100 / 255f, 0);
        assertThat(values("\"do_normalize\":false,\"do_rescale\":false", image)).containsExactly(200, 100, 0);
        assertThat(values("\"do_rescale\":false,\"image_mean\":[100,50,1],\"image_std\":[2,4,5]", image))
                .containsExactly(50, 12.5f, -0.2f);
        assertThat(values("\"rescale_factor\":0.5,\"image_mean\":0,\"image_std\":[2]", image))
                .containsExactly(50, 25, 0);
    }

    private static float[] values(String settings, Image image) throws IOException {
        try (ImageBatch batch = of("{\"image_processor_type\":\"ViTImageProcessor\",\"do_resize\":false," + settings
                        + "}")
                .preprocess(List.of(image))) {
            float[] result = new float[3];
            batch.pixelValues().data_ptr_float().get(result);
            return result;
        }
    }

    @Test
    void theModelTypeImpliesTheProcessor() throws IOException {
        Files.writeString(folder.resolve("config.json"), "{\"model_type\":\"swin\"}");
        Files.writeString(folder.resolve("preprocessor_config.json"), "{\"size\":16}");
        try (ImageBatch batch = ImageProcessor.fromFolder(folder).preprocess(List.of(image(5, 6)))) {
            assertThat(batch.pixelValues().shape()).containsExactly(1, 3, 16, 16);
        }
    }

    @Test
    void processorConfigComesFirst() throws IOException {
        Files.writeString(
                folder.resolve("processor_config.json"),
                "{\"image_processor\":{\"image_processor_type\":\"CLIPImageProcessor\",\"crop_size\":16}}");
        Files.writeString(
                folder.resolve("preprocessor_config.json"), "{\"image_processor_type\":\"ViTImageProcessor\"}");
        try (ImageBatch batch = ImageProcessor.fromFolder(folder).preprocess(List.of(image(5, 6)))) {
            assertThat(batch.pixelValues().shape()).containsExactly(1, 3, 16, 16);
        }
    }

    @Test
    void settingsAreWrittenBack() throws IOException {
        of("{\"image_processor_type\":\"ViTImageProcessor\",\"size\":7}").savePretrained(folder);
        try (ImageBatch batch = ImageProcessor.fromFolder(folder).preprocess(List.of(image(5, 6)))) {
            assertThat(batch.pixelValues().shape()).containsExactly(1, 3, 7, 7);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{'image_processor_type':'SamImageProcessor'} | SamImageProcessor is unknown",
                "{'image_processor_type':'ViTImageProcessor','size':0} | size",
                "{'image_processor_type':'ViTImageProcessor','size':{'height':3}} | size",
                "{'image_processor_type':'ViTImageProcessor','do_center_crop':true} | crop_size",
                "{'image_processor_type':'ViTImageProcessor','resample':9} | resample",
                "{'image_processor_type':'ViTImageProcessor','image_mean':[1,2]} | image_mean",
                "{'size':9} | image_processor_type",
            })
    void settingsThatMakeNoSenseAreNamed(String json, String message) {
        assertThatThrownBy(() -> of(json.replace('\'', '"')))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining(message);
    }

    @Test
    void aBatchOfDifferentSizesIsRefused() throws IOException {
        var processor = of("{\"image_processor_type\":\"ViTImageProcessor\",\"do_resize\":false}");
        assertThatThrownBy(() -> processor.preprocess(List.of(image(4, 3), image(2, 5))))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("2x5");
    }

    @Test
    void aFolderWithoutSettingsIsNamed() {
        assertThatThrownBy(() -> ImageProcessor.fromFolder(folder))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("preprocessor_config.json");
    }

    @ParameterizedTest
    @org.junit.jupiter.params.provider.ValueSource(
            strings = {"ViT", "CLIP", "DeiT", "ConvNext", "Segformer", "MobileNetV2", "Bit", "Detr", "Yolos"})
    void imagesOfOnePixelsWidthGoThrough(String name) throws IOException {
        ImageProcessor processor = ImageProcessor.of(
                (com.fasterxml.jackson.databind.node.ObjectNode) new com.fasterxml.jackson.databind.ObjectMapper()
                        .readTree("{\"image_processor_type\": \"" + name + "ImageProcessor\"}"));
        for (int[] sides : new int[][] {{1, 1}, {1, 3000}, {3000, 1}}) {
            Image thin = new Image(sides[0], sides[1], new byte[3 * sides[0] * sides[1]], "thin.png");
            try (ImageBatch batch = processor.preprocess(java.util.List.of(thin))) {
                assertThat(batch.pixelValues().dim()).isEqualTo(4);
                assertThat(batch.pixelValues().isfinite().all().item_bool()).isTrue();
            } catch (dev.headstart.HeadstartException e) { // or says why not
                assertThat(e).hasMessageContaining("thin.png");
            }
        }
    }
}
