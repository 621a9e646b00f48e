/* Settings tables: what is accepted is taken, what is not is refused with what would be. */
#include "core/settings.h"

#include "models/model.h"
#include "small_rbm.h"
#include "train/contrast.h"

typedef struct sample_settings {
    int64_t count;
    double rate;
    bool on;
    int color;
    char *name;
    hm_reals list;
    double warmth;
} sample_settings;

static const char *const colors[] = {"red", "green", NULL};
static const hm_setting entries[] = {
    {.key = "count",
     .type = HM_SET_INT,
     .offset = offsetof(sample_settings, count),
     .min = 1,
     .max = 1000,
     .fallback = "7",
     .describe = ""},
    {.key = "rate",
     .type = HM_SET_REAL,
     .offset = offsetof(sample_settings, rate),
     .min = 0,
     .max = 1,
     .fallback = "0.1",
     .describe = ""},
    {.key = "on", .type = HM_SET_BOOL, .offset = offsetof(sample_settings, on), .fallback = "true", .describe = ""},
    {.key = "color",
     .type = HM_SET_CHOICE,
     .offset = offsetof(sample_settings, color),
     .choices = colors,
     .fallback = "green",
     .describe = ""},
    {.key = "name", .type = HM_SET_TEXT, .offset = offsetof(sample_settings, name), .describe = ""},
    {.key = "list",
     .type = HM_SET_REALS,
     .offset = offsetof(sample_settings, list),
     .min = 0,
     .max = 1,
     .fallback = "[]",
     .describe = ""},
    {.key = "warmth",
     .type = HM_SET_REAL,
     .offset = offsetof(sample_settings, warmth),
     .max = 9,
     .fallback = "2.50",
     HM_NEEDS(color, 0),
     .describe = ""},
    {.key = NULL},
};
static const hm_settings_table table = {"sample", entries};

static const struct example {
    const char *key, *text;
    bool accepted;
} examples[] = {
    {"count", "1", true},     {"count", "1e3", true},      {"count", "0", false},    {"count", "1001", false},
    {"count", "2.5", false},  {"count", "", false},        {"count", "4x", false},   {"count", "nan", false},
    {"rate", "0", true},      {"rate", "1e-3", true},      {"rate", "-0.1", false},  {"rate", "inf", false},
    {"rate", "NaN", false},   {"rate", "half", false},     {"on", "false", true},    {"on", "yes", false},
    {"color", "red", true},   {"color", "blue", false},    {"color", "Red", false},  {"name", "x y", true},
    {"name", "", false},      {"list", "[0, .5,1]", true}, {"list", "[]", true},     {"list", "[0, 2]", false},
    {"list", "[0, 1", false}, {"list", "0, 1", false},     {"list", "[0 1]", false}, {"list", "[0,,1]", false},
    {"list", "[0] x", false},
};

static void texts_are_taken_or_refused(void **state)
{
    (void)state;
    sample_settings s = {0};
    assert_ok(hm_settings_default(&table, &s));
    assert_true(s.count == 7 && s.rate == 0.1 && s.on && s.color == 1 && s.name == NULL && s.list.count == 0);
    for (size_t at = 0; at < sizeof examples / sizeof examples[0]; at++) {
        const char *complaint = "";
        const hm_setting *setting = hm_settings_find(&table, examples[at].key);
        hm_status status = hm_setting_parse(setting, &s, examples[at].text, &complaint);
        if ((status == HM_OK) != examples[at].accepted) fail_msg("%s: '%s'", examples[at].key, examples[at].text);
        if (status == HM_OK) continue;
        char accepts[200];
        hm_setting_accepts(setting, accepts, sizeof accepts);
        assert_non_null(strstr(complaint, accepts));
    }
    assert_true(s.list.count == 0); /* the last good one */
    hm_settings_free(&table, &s);
}

static void values_are_written_as_they_are_read(void **state)
{
    (void)state;
    static const char *const texts[][2] = {{"count", "999"},    {"rate", "0.30000000000000004"},
                                           {"rate", "1.0e-05"}, {"rate", "1.5e-07"},
                                           {"on", "false"},     {"color", "red"},
                                           {"name", "a: b"},    {"list", "[0, 1.0e-06, 0.1, 1]"}};
    sample_settings s = {0};
    for (size_t at = 0; at < sizeof texts / sizeof texts[0]; at++) {
        const char *complaint;
        char out[64];
        const hm_setting *setting = hm_settings_find(&table, texts[at][0]);
        assert_ok(hm_setting_parse(setting, &s, texts[at][1], &complaint));
        hm_setting_format(setting, &s, out, sizeof out);
        assert_string_equal(out, texts[at][1]);
    }
    hm_settings_free(&table, &s);
}

/* Every setting is its default, however that is written, until it is set; one that is of a choice counts with that. */
static void defaults_and_needs_are_known(void **state)
{
    (void)state;
    static const char *const others[] = {"8", "0.2", "false", "red", "x", "[1]", "2"};
    const hm_setting *warmth = hm_settings_find(&table, "warmth");
    sample_settings settings = {0};
    const char *complaint;
    char needed[64];
    assert_ok(hm_settings_default(&table, &settings));
    assert_false(hm_setting_counts(&table, warmth, &settings)); /* the color is green */
    hm_setting_needed(&table, warmth, needed, sizeof needed);
    assert_string_equal(needed, "color: red");
    for (int at = 0; entries[at].key; at++) {
        assert_int_equal(hm_setting_is_default(&entries[at], &settings), entries[at].fallback != NULL);
        assert_ok(hm_setting_parse(&entries[at], &settings, others[at], &complaint));
        assert_false(hm_setting_is_default(&entries[at], &settings));
        if (entries[at].key != warmth->key) assert_true(hm_setting_counts(&table, &entries[at], &settings));
    }
    assert_true(hm_setting_counts(&table, warmth, &settings));
    hm_settings_free(&table, &settings);
}

/* What a setting needs is a choice of its own table, or a real number there. */
static void needs_are_choices_or_numbers(void **state)
{
    (void)state;
    const hm_settings_table *const tables[] = {&hm_data_table, &hm_contrast_table, &hm_optimizer_table, &hm_ais_table};
    int found = 0;
    for (size_t at = 0; at < sizeof tables / sizeof tables[0]; at++)
        for (const hm_setting *setting = tables[at]->entries; setting->key; setting++) {
            if (!setting->needs) continue;
            const hm_setting *other = hm_settings_find(tables[at], setting->needs);
            assert_true(other && setting->fallback && (other->type == HM_SET_CHOICE || other->type == HM_SET_REAL));
            for (int name = 0; other->type == HM_SET_CHOICE && name <= setting->needed; name++)
                assert_non_null(other->choices[name]);
            found++;
        }
    assert_true(found >= 10);
}

static void slips_find_the_key_that_was_meant(void **state)
{
    (void)state;
    assert_string_equal(hm_settings_closest(&table, "cuont")->key, "count");
    assert_string_equal(hm_settings_closest(&table, "colour")->key, "color");
    assert_null(hm_settings_closest(&table, "temperature"));
}

/* Every family's table is whole, and one with a hole is refused by name. */
static void model_tables_fit_their_loop(void **state)
{
    (void)state;
    for (int family = 0; hm_model_classes[family]; family++) {
        void *settings = calloc(1, hm_model_classes[family]->settings_size);
        assert_ok(hm_model_class_check(hm_model_classes[family]));
        assert_ok(hm_settings_default(&hm_model_classes[family]->settings, settings));
        assert_ptr_equal(hm_model_find(hm_model_classes[family]->name), hm_model_classes[family]);
        hm_settings_free(&hm_model_classes[family]->settings, settings);
        free(settings);
    }
    hm_model_class holed = *hm_model_classes[0];
    holed.free_energy = NULL;
    assert_int_equal(hm_model_class_check(&holed), HM_EINTERNAL);
    assert_non_null(strstr(hm_error_message(), "`free_energy`"));
    hm_error_clear();
    assert_null(hm_model_find("dragon"));
}

static void layouts_and_arenas_refuse_what_does_not_fit(void **state)
{
    (void)state;
    hm_layout layout = {0};
    hm_arena arena;
    float *x;
    int index;
    assert_ok(hm_layout_add(&layout, (hm_tensor){.name = "w", .dims = 2, .shape = {3, 5}, .products = true}, &index));
    assert_ok(hm_layout_add(&layout, (hm_tensor){.name = "b", .dims = 1, .shape = {7}}, &index));
    assert_true(layout.tensors[1].offset == 16 && layout.size == 32 && hm_layout_direct_begin(&layout) == 16);
    assert_true(hm_layout_find(&layout, "b") == 1 && hm_layout_find(&layout, "z") == -1);
    const hm_tensor bad[] = {{.name = "empty", .dims = 1, .shape = {0}},
                             {.name = "huge", .dims = 2, .shape = {INT64_MAX / 2, 3}},
                             {.name = "flat", .dims = 0}};
    for (size_t at = 0; at < 3; at++) {
        assert_int_equal(hm_layout_add(&layout, bad[at], &index), HM_EINTERNAL);
        assert_non_null(strstr(hm_error_message(), bad[at].name));
        hm_error_clear();
    }
    assert_ok(hm_arena_init(&arena, hm_arena_bytes(100), "scratch"));
    assert_ok(hm_arena_floats(&arena, 100, &x));
    assert_true(((uintptr_t)x & 63) == 0);
    assert_int_equal(hm_arena_floats(&arena, 1, &x), HM_EINTERNAL);
    hm_error_clear();
    hm_arena_free(&arena);
    assert_int_equal(hm_alloc(&x, INT64_MAX, 8, "too much"), HM_EINTERNAL);
    assert_null(x);
    hm_error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_taken_or_refused),
        cmocka_unit_test(values_are_written_as_they_are_read),
        cmocka_unit_test(defaults_and_needs_are_known),
        cmocka_unit_test(needs_are_choices_or_numbers),
        cmocka_unit_test(slips_find_the_key_that_was_meant),
        cmocka_unit_test(model_tables_fit_their_loop),
        cmocka_unit_test(layouts_and_arenas_refuse_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
