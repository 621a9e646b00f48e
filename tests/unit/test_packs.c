/* Layouts place tensors where the header says, refuse what does not fit, and cut ranges into even parts. */
#include "core/pack.h"

#include "numbers.h"

static hm_tensor tensor(const char *name, int dims, int64_t rows, int64_t columns, bool products)
{
    return (hm_tensor){.name = name, .dims = dims, .shape = {rows, columns}, .products = products};
}

static int add(hm_layout *layout, hm_tensor added)
{
    int index = -1;
    assert_int_equal(hm_layout_add(layout, added, &index), HM_OK);
    return index;
}

static void assert_refused(hm_layout *layout, hm_tensor refused)
{
    int index = -7, count = layout->count;
    int64_t size = layout->size;
    assert_int_equal(hm_layout_add(layout, refused, &index), HM_EINTERNAL);
    if (!strstr(hm_error_message(), refused.name)) fail_msg("'%s' does not name %s", hm_error_message(), refused.name);
    hm_error_clear();
    assert_true(index == -7 && layout->count == count && layout->size == size); /* nothing has changed */
}

static void tensors_lie_one_after_another(void **state)
{
    (void)state;
    static const int64_t expected[] = {0, 16, 48, 64, 80};
    hm_layout layout = {0};
    assert_true(hm_layout_direct_begin(&layout) == 0);
    assert_int_equal(add(&layout, tensor("W1", 2, 3, 5, true)), 0);
    assert_int_equal(add(&layout, tensor("W2", 2, 17, 1, true)), 1);
    assert_true(hm_layout_direct_begin(&layout) == layout.size); /* products only */
    assert_int_equal(add(&layout, tensor("b", 1, 16, 0, false)), 2);
    assert_int_equal(add(&layout, tensor("c", 1, 1, 0, false)), 3);
    assert_int_equal(add(&layout, (hm_tensor){.name = "kernel", .dims = 4, .shape = {2, 3, 4, 5}, .role = HM_RUNNING}),
                     4);
    for (int index = 0; index < 5; index++) assert_true(layout.tensors[index].offset == expected[index]);
    assert_true(layout.size == 80 + 128 && hm_layout_direct_begin(&layout) == 48);
    assert_true(hm_tensor_size(&layout.tensors[4]) == 120 && hm_tensor_size(&layout.tensors[1]) == 17);
}

/* Products lie before the others, whenever they are added. */
static void products_come_first(void **state)
{
    (void)state;
    hm_layout layout = {0};
    int b = add(&layout, tensor("b", 1, 20, 0, false)), W1 = add(&layout, tensor("W1", 2, 3, 5, true));
    int c = add(&layout, tensor("c", 1, 3, 0, false)), W2 = add(&layout, tensor("W2", 2, 5, 5, true));
    const int64_t expected[] = {[0] = 16 + 32, [1] = 0, [2] = 16 + 32 + 32, [3] = 16};
    for (int index = 0; index < 4; index++) assert_true(layout.tensors[index].offset == expected[index]);
    assert_true(b == 0 && W1 == 1 && c == 2 && W2 == 3 && layout.size == 16 + 32 + 32 + 16);
    assert_true(hm_layout_direct_begin(&layout) == 48);
}

static void tensors_are_found_by_name(void **state)
{
    (void)state;
    hm_layout layout = {0};
    assert_int_equal(hm_layout_find(&layout, "W"), -1);
    add(&layout, tensor("W", 2, 3, 5, true));
    add(&layout, tensor("b", 1, 3, 0, false));
    assert_int_equal(hm_layout_find(&layout, "W"), 0);
    assert_int_equal(hm_layout_find(&layout, "b"), 1);
    assert_int_equal(hm_layout_find(&layout, "w"), -1);
    assert_int_equal(hm_layout_find(&layout, ""), -1);
}

static void views_are_the_tensors_elements(void **state)
{
    (void)state;
    hm_layout layout = {0};
    float *pack;
    add(&layout, tensor("W", 2, 3, 5, true));
    add(&layout, tensor("b", 1, 7, 0, false));
    add(&layout, (hm_tensor){.name = "kernel", .dims = 3, .shape = {2, 3, 4}});
    assert_int_equal(hm_pack_alloc(&layout, "a pack", &pack), HM_OK);
    assert_true((uintptr_t)pack % 64 == 0);
    for (int64_t i = 0; i < layout.size; i++) assert_true(pack[i] == 0);
    const struct view {
        int64_t offset, rows, columns;
    } views[] = {{0, 3, 5}, {16, 1, 7}, {32, 6, 4}};
    for (int index = 0; index < 3; index++) {
        hm_matrix m = hm_pack_matrix(&layout, pack, index);
        assert_true(m.at == pack + views[index].offset && m.rows == views[index].rows &&
                    m.columns == views[index].columns);
    }
    free(pack);
}

static void misfits_are_refused(void **state)
{
    (void)state;
    hm_layout layout = {0};
    add(&layout, tensor("b", 1, 7, 0, false));
    assert_refused(&layout, tensor("empty", 2, 3, 0, false));
    assert_refused(&layout, tensor("negative", 2, -3, -3, false));
    assert_refused(&layout, tensor("flat", 0, 1, 1, false));
    assert_refused(&layout, tensor("deep", HM_TENSOR_DIMS + 1, 1, 1, false));
    assert_refused(&layout, tensor("overflowing", 2, INT64_MAX / 2, 3, false));
    assert_refused(&layout, tensor("wrapping", 2, 1ll << 32, 1ll << 32, false)); /* 2^64: 0 */
    assert_refused(&layout, tensor("huge", 1, INT64_MAX - 3, 0, false));         /* padding would overflow */
    add(&layout, tensor("large", 1, INT64_MAX / 16, 0, false));
    assert_refused(&layout, tensor("too_large_together", 1, INT64_MAX / 16, 0, false));
    float *pack;
    assert_int_equal(hm_pack_alloc(&layout, "the dream pack", &pack), HM_EINTERNAL);
    assert_non_null(strstr(hm_error_message(), "the dream pack"));
    hm_error_clear();
}

static void a_full_layout_refuses(void **state)
{
    (void)state;
    hm_layout layout = {0};
    for (int at = 0; at < HM_TENSORS_MAX; at++) assert_int_equal(add(&layout, tensor("b", 1, 1, 0, false)), at);
    assert_refused(&layout, tensor("one_more", 1, 1, 0, false));
}

/* Contiguous, in order, whole, sizes differing by at most one; also for numbers whose product is near 2^63. */
static void parts_cover_their_range(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 7, 8, 20, 100, 60000, (1ll << 53) - 1};
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++)
        for (int64_t parts = 1; parts <= 1024; parts = parts * 3 / 2 + 1) {
            int64_t end = 0;
            for (int64_t part = 0; part < parts; part++) {
                hm_range range = hm_part(sizes[at], parts, part);
                assert_true(range.begin == end);
                assert_true(hm_count(range) == sizes[at] / parts || hm_count(range) == sizes[at] / parts + 1);
                end = range.end;
            }
            assert_true(end == sizes[at]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_lie_one_after_another), cmocka_unit_test(tensors_are_found_by_name),
        cmocka_unit_test(products_come_first),           cmocka_unit_test(views_are_the_tensors_elements),
        cmocka_unit_test(misfits_are_refused),           cmocka_unit_test(a_full_layout_refuses),
        cmocka_unit_test(parts_cover_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
